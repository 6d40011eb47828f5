"""Training fingerprint extractors (paper 002, §III-C): synthetic models as classes, spectra as what is looked at."""

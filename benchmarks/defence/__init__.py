"""The defence table: python -m benchmarks.defence DATASET --out FILE [--minutes 18]

DATASET holds models that answered the same prompts with several seeds each. The first seed's images are what the
leaderboard shows: some of them are protected and attacked. The leaderboard knows those images of all its models and
nothing of the attacker's; the attacker has the other seeds. The published loss has as many positives as the leaderboard
has images of a model and a prompt: a single one, unless ``--seeds`` gives it more of what the attacker then lacks.

Defences stand beside each other at one ε, and at one PSNR: that of the published defence at each ε, and for random
signs also that of the common form. Every cell (defence, ε, attacker, encoder) is some lines of FILE, one an attributor;
a second run does what is missing. Protected images lie beside it in FILE.images and are kept too. With ``--minutes`` a
run ends by itself, with exit status 3 where something is left to do.
"""

"""The systems that the papers compare with, one file each; what they share stands beside them."""

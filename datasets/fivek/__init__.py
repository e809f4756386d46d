"""MIT-Adobe FiveK: photos and their retouched versions by five experts."""

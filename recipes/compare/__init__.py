"""Score the networks of a run on any pairs of photos, beside what needs no network."""

"""LivePortrait: a neural portrait; its mouth follows the sound, its head a life of its own."""

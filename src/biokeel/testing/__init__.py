"""What tests of Biokeel and of its users need; shipped, but not used in production."""

"""What the product is compared with, built on this machine."""

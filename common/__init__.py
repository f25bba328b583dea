"""What every package may use: errors, files, images, text. Needs nothing of the project."""

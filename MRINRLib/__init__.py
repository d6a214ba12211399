"""The Slicer side that MRINR's modules share. Importing it needs neither torch nor SimpleITK."""

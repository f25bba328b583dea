"""A run that is only planned: counted on the meta device, before anything is built on real memory."""

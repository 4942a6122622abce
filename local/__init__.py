"""The local world: the functions host for one machine and what stands around it."""

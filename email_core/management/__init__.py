"""The wire contract of the management plane: resource ids, operations, bodies and refusals of Azure Resource Manager. Pure."""

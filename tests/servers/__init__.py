"""Local servers that speak vendors' protocols, for the vendors' own SDKs to connect to."""

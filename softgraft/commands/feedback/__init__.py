"""`softgraft feedback DOMAIN list|export|accept|report|compare`."""

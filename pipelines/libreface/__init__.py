"""libreface."""

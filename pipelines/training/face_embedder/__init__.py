"""The recogniser of drawn faces, which embeds people and checks who is shown."""

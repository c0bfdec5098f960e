"""What tests share: servers, worlds, records and inputs."""

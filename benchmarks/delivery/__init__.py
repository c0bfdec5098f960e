"""Delivery measured on a real cluster: drift, bad and good releases under load, bootstrap, workloads, admission."""

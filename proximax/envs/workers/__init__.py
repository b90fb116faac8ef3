"""Gymnasium environments in several processes.

Read ``vector_env`` (all of them as one ``HostEnv``), ``process`` (one worker as its parent sees it), ``main`` (the
worker's own side, which imports neither proximax nor JAX), ``watchdog`` (ends workers whose parent has died).
"""

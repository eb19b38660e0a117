"""The training core: one compiled program a shape, trajectories that never lose what was computed."""

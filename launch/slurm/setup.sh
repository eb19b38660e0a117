# shellcheck shell=bash
#
# What every job does first: engine.slurm.setup of a study names this file, and sweep.sbatch sources it.
# Fill in what your cluster needs; lines that start with # do nothing.

# 1. Modules: the compiler's and CUDA's libraries, where JAX does not bring its own.
# module purge
# module load cuda/12.8

# 2. The environment in which scaling is installed, on a file system that every node sees.
# source /shared/venvs/scaling/bin/activate

# 3. Caches on a shared file system, so that a program is compiled once for all nodes.
# export JAX_COMPILATION_CACHE_DIR=/shared/cache/jax

# 4. Network of processes on several hosts: the interface that the hosts reach each other by.
# export NCCL_SOCKET_IFNAME=ib0

# validator and profiler for kernels in Triton and CUDA: torch, Triton, nvcc, a C++ compiler, bubblewrap.
# CUDA's major version is torch's own (torch 2.11 is built for 13), or the extensions it builds would not load.
ARG CUDA=13.0.1-devel-ubuntu24.04

FROM nvidia/cuda:${CUDA}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/specgen
ENV PATH=/opt/specgen/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements requirements
# vLLM is a service of its own, in its own image: judging needs the rest.
RUN grep --invert-match '^vllm==' requirements/gpu.txt > judges.txt && pip install --requirement judges.txt
# Only what .dockerignore lets through.
COPY . .
RUN pip install --constraint judges.txt .
COPY docker/healthy.py /opt/healthy.py
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 CUDA_HOME=/usr/local/cuda
# What the container toolkit mounts of the driver: computing, and nvidia-smi to name the devices.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN mkdir /cache
# root: each candidate runs as a user of its own, which only root can choose. See x-judge in docker-compose.yml.
WORKDIR /tmp
CMD ["python", "-m", "validator"]

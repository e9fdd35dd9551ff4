# validator and profiler for kernels in C++ on a CPU: torch, a compiler, bubblewrap.
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS build
RUN python -m venv /opt/specgen
ENV PATH=/opt/specgen/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# The default index may hand out torch with CUDA inside. Name an index with CPU wheels here to save gigabytes.
ARG PIP_EXTRA_INDEX_URL=
WORKDIR /src
COPY requirements requirements
RUN pip install --requirement requirements/cpu.txt
# Only what .dockerignore lets through.
COPY . .
RUN pip install --constraint requirements/cpu.txt --no-deps .

FROM python:${PYTHON}
# g++ compiles the candidates; everything else they need is Python's and torch's own.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/specgen /opt/specgen
COPY docker/healthy.py /opt/healthy.py
ENV PATH=/opt/specgen/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN mkdir /cache
# root: each candidate runs as a user of its own, which only root can choose. See x-judge in docker-compose.yml.
WORKDIR /tmp
CMD ["python", "-m", "validator"]

# generator, trigger, scheduler, the CLI and the replay endpoint: everything that never judges. No torch, no compiler.
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS build
RUN python -m venv /opt/specgen
ENV PATH=/opt/specgen/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# Only what .dockerignore lets through. The constraints are the exact versions that the tests ran with.
COPY . .
RUN pip install --constraint requirements/cpu.txt .

FROM python:${PYTHON}
COPY --from=build /opt/specgen /opt/specgen
COPY docker/healthy.py /opt/healthy.py
ENV PATH=/opt/specgen/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# No service of this image writes a file: its state is on the bus.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin specgen
USER 10001
WORKDIR /tmp
CMD ["specgen", "--help"]

# The `northbound` command with its locked packages; docker-compose.yml runs it.
FROM python:3.12-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/runtime.lock requirements/build.lock requirements/
RUN python -m venv /opt/northbound \
 && /opt/northbound/bin/pip install --require-hashes -r requirements/runtime.lock
RUN pip install --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY topology topology
COPY app app
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/northbound/bin/pip install --no-deps /wheels/*.whl

FROM python:3.12-slim
# 1000 is also the user of the apache/kafka image, which reads the files that this one writes for it.
# Volumes take over owner and mode of these folders when they are first used.
RUN useradd --uid 1000 --home-dir /northbound --no-create-home northbound \
 && install -d -o northbound -g northbound -m 0700 /northbound /northbound/brokers \
    /northbound/bundles /northbound/data /northbound/spool /northbound/state
COPY --from=build /opt/northbound /opt/northbound
ENV PATH=/opt/northbound/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /northbound
COPY --chown=northbound northbound.yaml ./
COPY --chown=northbound rules rules
COPY --chown=northbound normalizers normalizers
COPY --chown=northbound examples examples
USER northbound
CMD ["northbound", "--help"]

# CPU:  docker build -t lightning-semrob .
# CUDA: docker build -t lightning-semrob:cuda --build-arg CONSTRAINTS= .
# Run:  docker run --rm -v "$PWD/outputs:/work/outputs" lightning-semrob --dry_run=true
FROM python:3.11-slim

# The pins of the CPU build of torch; empty takes the newest torch, with its CUDA libraries.
ARG CONSTRAINTS=constraints-cpu.txt
ARG EXTRAS=demo,report

WORKDIR /source
COPY pyproject.toml README.md LICENSE MANIFEST.in constraints-cpu.txt ./
COPY configs configs
COPY lightning_semrob lightning_semrob
RUN pip install --no-cache-dir ${CONSTRAINTS:+-c $CONSTRAINTS} ".[$EXTRAS]"

# Nobody in particular; the kernels are compiled once, into the image.
RUN useradd --create-home semrob && mkdir -p /work/outputs /var/cache/warp && chown -R semrob /work /var/cache/warp
ENV WARP_CACHE_PATH=/var/cache/warp OMP_NUM_THREADS=1 MPLCONFIGDIR=/tmp/matplotlib
USER semrob
WORKDIR /work
RUN semrob doctor

ENTRYPOINT ["semrob-evaluate"]

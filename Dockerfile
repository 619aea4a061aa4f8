# podlink as an image that installs it on a node: run it with the node's directories mounted below /host, as the init container of a
# DaemonSet does. It copies atomically, runs what it copied once, and ends.
#
#   docker build -t podlink .                                                builds podlink, too
#   npm run build && docker build -t podlink --build-arg BUILT=prebuilt .    takes what is in dist/cni
#   docker run --rm -v /opt/cni/bin:/host/opt/cni/bin podlink

# What the installer runs on: glibc >= 2.28 and libstdc++, nothing else
ARG BASE=gcr.io/distroless/cc-debian12
# Debian or Ubuntu with Node >= 20 and npm
ARG BUILDER=docker.io/library/node:24-trixie-slim
# The stage that dist/cni comes from: build or prebuilt
ARG BUILT=build

FROM ${BUILDER} AS build
WORKDIR /src
COPY . .
RUN npm run build -- --native

FROM scratch AS prebuilt
COPY dist/cni /src/dist/cni

FROM ${BUILT} AS built

FROM ${BASE}
COPY --from=built /src/dist/cni /opt/podlink
ENTRYPOINT ["/opt/podlink/podlink", "install", "--bin-dir", "/host/opt/cni/bin"]

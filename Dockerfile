# SPDX-License-Identifier: Apache-2.0
# The agent in an image of Debian 12: built in one stage, its libraries alone in the other.
#     scripts/image, or: docker build -t vectail .
# It runs as a user without rights, on a root file system that is read-only, and needs no shell.
ARG DEBIAN=debian:12-slim

FROM ${DEBIAN} AS build
WORKDIR /src
# First what seldom changes: the list of packages that scripts/test installs, too.
COPY scripts/lib/packages.sh scripts/lib/small-icu scripts/lib/
RUN apt-get update -q \
    && bash -c 'set -e; . scripts/lib/packages.sh; packages_need "${PACKAGES_IMAGE_BUILD[@]}"' \
    && scripts/lib/small-icu /image/usr/local/lib
COPY . .
RUN cmake --preset release \
    && cmake --build --preset release \
    && DESTDIR=/image cmake --install build/release --prefix /usr --strip

FROM ${DEBIAN}
# What is in /usr/local/lib is found first: the tables of ICU that are needed, 75 kB in place of 31 MB.
COPY --from=build /image/usr/local/lib/ /usr/local/lib/
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        ca-certificates \
        libbson-1.0-0 \
        libcjson1 \
        libcurl4 \
        libgnutls30 \
        libmicrohttpd12 \
        libmongoc-1.0-0 \
        librdkafka1 \
        libssl3 \
        libutf8proc2 \
        libyaml-0-2 \
    && rm -f /usr/lib/*-linux-gnu/libicudata.so.* \
    && ldconfig \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/* \
        /var/lib/dpkg/*-old /var/log/*
COPY LICENSE /usr/share/doc/vectail/LICENSE
COPY --from=build /image/usr/bin/vectail /usr/bin/vectail

ARG VERSION=unknown
ARG REVISION=unknown
ARG DEBIAN
LABEL org.opencontainers.image.title="vectail" \
      org.opencontainers.image.description="Keeps vector collections in step with MongoDB" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${DEBIAN}"

# So that `vectail status` inside the container needs no -c.
ENV VECTAIL_CONFIG=/etc/vectail/vectail.yaml
EXPOSE 7700
STOPSIGNAL SIGTERM
# A number, which Kubernetes can see not to be root's. It owns no file.
USER 65532:65532
ENTRYPOINT ["/usr/bin/vectail"]
CMD ["run"]

# syntax=docker/dockerfile:1

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/weir ./cmd/weir \
    && install -d -m 0700 /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/weir /usr/local/bin/weir
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data
EXPOSE 8080
ENV WEIR_DATA_DIR=/data \
    WEIR_LISTEN=0.0.0.0:8080
# No HEALTHCHECK: the image has no shell and no HTTP client. Have the
# orchestrator ask /readyz.
# Weir refuses plain HTTP beyond loopback: give it TLS or a trusted proxy
# (docs/operations.md, "In a container").
ENTRYPOINT ["/usr/local/bin/weir"]
CMD ["serve"]

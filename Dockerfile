# syntax=docker/dockerfile:1
# A static binary on an empty, non-root image. Mount pipeline files at /etc/leat, or COPY them there in an image of your
# own; state lies in /data. The daemon drains within 25 s of SIGTERM, so give it 30 s (docker stop -t 30).
ARG GO_VERSION=1.26

FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -mod=readonly -trimpath \
      -ldflags "-s -w -X github.com/leatdev/leat/cmd.version=${VERSION}" -o /out/leat ./cmd/leat \
    && mkdir /out/data /out/etc

FROM gcr.io/distroless/static-debian13:nonroot
LABEL org.opencontainers.image.title="leat" \
      org.opencontainers.image.description="Event pipelines in YAML, with an event store" \
      org.opencontainers.image.source="https://github.com/leatdev/leat" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/leat /leat
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/etc /etc/leat
ENV LEAT_DATA=/data
VOLUME ["/data"]
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=4s --start-period=10s --retries=3 CMD ["/leat", "healthcheck"]
ENTRYPOINT ["/leat"]
CMD ["run", "/etc/leat"]

// Package admin is the daemon's listener: health, metrics, profiles, the HTTP API that the command line and programs
// use with its OpenAPI document, and the place where sources that listen put their handlers. The other side of the API
// is pipeline/eventstore/client, and what both write is pipeline/eventstore/wire.
//
// Each route has a Scope; who may do what is in auth.go. Where nobody is asked who he is, it listens on loopback alone and
// refuses names that are not loopback's in the Host header (DNS rebinding); writes that a browser sends from elsewhere
// are refused always. What it answers goes through telemetry.Redact where it is an error. Start in server.go for the listener; to add operations, write a file beside
// events.go that calls operate or onStore (operation.go) for each, and a line in routeAPI.
package admin

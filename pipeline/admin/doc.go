// Package admin is the daemon's listener: health, metrics, profiles, the JSON API that the command line and programs
// use, and the place where sources that listen put their handlers. Client is the other side of the API.
//
// It listens on loopback only, as there is no authentication yet; it refuses names that are not loopback's in the Host
// header (DNS rebinding) and writes that a browser sends from elsewhere. What it answers goes through
// telemetry.Redact where it is an error. Start in server.go for the listener and in api.go for a route.
package admin

package admin

import (
	"encoding/json"
	"net/http"
	"sync"
)

// routeDocument puts the OpenAPI document on the listener, as JSON and YAML.
func (s *Server) routeDocument() {
	asJSON := sync.OnceValues(func() ([]byte, error) { return json.Marshal(s.api.OpenAPI()) })
	asYAML := sync.OnceValues(func() ([]byte, error) { return s.api.OpenAPI().YAML() })
	serve := func(kind string, text func() ([]byte, error)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			b, err := text()
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", kind)
			w.Header().Set("X-Content-Type-Options", "nosniff")
			_, _ = w.Write(b)
		})
	}
	s.route("GET /openapi.json", Open, serve("application/openapi+json", asJSON))
	s.route("GET /openapi.yaml", Open, serve("application/openapi+yaml", asYAML))
}

package admin

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"sync"
)

// page is the API's page: it reads the document and sends requests. Its assets are its own and come with the binary, so
// that it works where there is no network but the daemon's.
//
//go:embed page
var page embed.FS

// pagePolicy lets the page load and reach nothing but this listener.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// routeDocument puts the OpenAPI document on the listener, as JSON and YAML, and a page that shows it.
func (s *Server) routeDocument() {
	asJSON := sync.OnceValues(func() ([]byte, error) { return json.Marshal(s.document) })
	asYAML := sync.OnceValues(func() ([]byte, error) { return s.document.YAML() })
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
	s.route("GET /openapi/openapi-spec.json", Open, serve("application/json", asJSON)) // as serverless-event-store has it

	assets, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	files := http.StripPrefix("/openapi/", http.FileServerFS(assets))
	s.route("GET /openapi/", Open, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	}))
	s.route("GET /openapi", Open, http.RedirectHandler("/openapi/", http.StatusTemporaryRedirect))
}

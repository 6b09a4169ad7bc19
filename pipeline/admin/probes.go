package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/leatdev/leat/pipeline/telemetry"
)

// probe is the answer of /healthz and /readyz to who accepts JSON. Others get its words alone.
type probe struct {
	OK bool `json:"ok"`
	// Words are "ok", or what is the matter.
	Words string `json:"words"`
	// Duties are what this process does and stands by for. Who may not read the status is not told.
	Duties any `json:"duties,omitempty"`
}

var errStarting = errors.New("starting")

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	d := s.daemon.Load()
	var err error
	if d != nil && d.Alive != nil {
		err = d.Alive()
	}
	s.probed(w, r, d, err)
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	d := s.daemon.Load()
	err := errStarting
	if d != nil {
		if err = nil; d.Ready != nil {
			err = d.Ready()
		}
	}
	s.probed(w, r, d, err)
}

// probed answers a probe. A probe has no key, mostly, and needs none.
func (s *Server) probed(w http.ResponseWriter, r *http.Request, d *Daemon, err error) {
	p, status := probe{OK: err == nil, Words: "ok"}, http.StatusOK
	if err != nil {
		p.Words, status = telemetry.Redact(err.Error()), http.StatusServiceUnavailable
	}
	w.Header().Add("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "application/json") {
		text(w, status, p.Words)
		return
	}
	if who, refused := s.door.Load().of(r); d != nil && d.Duties != nil && refused == nil && who.scope >= Read {
		p.Duties = d.Duties()
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p)
}

package admin

import (
	"net/http"
	"time"
)

// readyPath is of no Deployment: no ID begins with a hyphen.
const readyPath = "/deployments/-/ready"

// Readiness is the answer of GET /deployments/-/ready.
type Readiness struct {
	Error string `json:"error,omitempty"` // why it is not ready
	Ready bool   `json:"ready"`

	// How old this node's knowledge is; null when it has none. A node may be ready without any:
	// then it asks the store for each request.
	AgeSeconds *float64 `json:"age_seconds"`
}

// serveReady is GET /deployments/-/ready: {"ready":true,"age_seconds":0.4}, or 503 with
// {"error","ready":false,"age_seconds"}.
func (a *API) serveReady(w http.ResponseWriter, r *http.Request) {
	if !Allow(w, r, http.MethodGet) {
		return
	}
	c := a.newCall(w, r)
	if err := c.authorize(readyPath, http.MethodGet); err != nil {
		a.refuse(c, err)
		return
	}
	age, known, err := a.Ready(r.Context())
	answer := Readiness{Ready: err == nil}
	if known {
		seconds := float64(age.Round(time.Millisecond).Milliseconds()) / 1000 // 1.574; Seconds has 1.5739999999999998
		answer.AgeSeconds = &seconds
	}
	status := http.StatusOK
	if err != nil {
		// Not logged: whoever asks every second would fill the log with what they are told anyway.
		status, answer.Error = http.StatusServiceUnavailable, err.Error()
		w.Header().Set("Retry-After", "1")
	}
	WriteJSON(w, status, answer)
}

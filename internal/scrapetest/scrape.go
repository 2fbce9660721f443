// Package scrapetest reads Prometheus collectors in tests, as a scrape of /metrics does.
package scrapetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A Scrape is what /metrics says at a moment: values by name without caddy_deployment_keys_ and labels, as in
// requests_total{handler="auth",outcome="passed"}, and for a histogram, the count.
type Scrape map[string]float64

// Get returns the value of a series, which has to be there.
func (s Scrape) Get(t testing.TB, series string) float64 {
	t.Helper()
	value, ok := s[series]
	if !ok {
		t.Fatalf("there is no %s", series)
	}
	return value
}

// Of registers collectors on a registry of their own, pedantically, and reads them.
func Of(t testing.TB, register func(*prometheus.Registry) error) Scrape {
	t.Helper()
	s := make(Scrape)
	for _, family := range Gather(t, register) {
		for _, metric := range family.Metric {
			var labels []string
			for _, label := range metric.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", label.GetName(), label.GetValue()))
			}
			name := strings.TrimPrefix(family.GetName(), "caddy_deployment_keys_")
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			s[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return s
}

// Gather is Of, with all that a scrape says.
func Gather(t testing.TB, register func(*prometheus.Registry) error) []*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := register(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

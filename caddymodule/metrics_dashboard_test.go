package caddymodule

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/internal/scrapetest"
	dto "github.com/prometheus/client_model/go"
)

// dashboard is the part of a Grafana dashboard that the test reads.
type dashboard struct {
	UID           string `json:"uid"`
	SchemaVersion int    `json:"schemaVersion"`
	Panels        []struct {
		ID         int         `json:"id"`
		Type       string      `json:"type"`
		Title      string      `json:"title"`
		Datasource *datasource `json:"datasource"`
		GridPos    struct{ H, W, X, Y int }
		Targets    []struct {
			Datasource datasource `json:"datasource"`
			Expr       string     `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
	Templating struct {
		List []struct {
			Name       string          `json:"name"`
			Type       string          `json:"type"`
			Query      json.RawMessage `json:"query"`
			Definition string          `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

var (
	metricName = regexp.MustCompile(`\bcaddy_deployment_keys_[a-z_]+`)
	labelValue = regexp.MustCompile(`\b([a-z_]+)(?:=~?)"([^"$]*)"`)
)

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	content, err := os.ReadFile("../docs/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Each metric in a query is one that the gateway exports, by labels that it has, and each one that
// it exports is to be seen.
func TestDashboardShowsTheMetrics(t *testing.T) {
	t.Parallel()
	newTestApp(t, nil) // some are there only with a node
	exported := make(map[string]*dto.MetricFamily)
	for _, family := range scrapetest.Gather(t, metrics.register) {
		exported[family.GetName()] = family
	}
	shown := make(map[string]bool)
	familyOf := func(where, name string) *dto.MetricFamily {
		family, ok := exported[name]
		if base, isBucket := strings.CutSuffix(name, "_bucket"); isBucket {
			family, ok = exported[base]
			ok = ok && family.GetType() == dto.MetricType_HISTOGRAM
		}
		if !ok {
			t.Errorf("%s: the gateway does not export %s", where, name)
		}
		return family
	}
	d := readDashboard(t)
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			names := metricName.FindAllString(target.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s: %s has no metric", panel.Title, target.Expr)
			}
			for _, name := range names {
				family := familyOf(panel.Title, name)
				shown[family.GetName()] = true
				counts := family.GetType() != dto.MetricType_GAUGE
				if rated := strings.Contains(target.Expr, "rate("+name); rated != counts {
					t.Errorf("%s: %s is %s: a rate is for what counts", panel.Title, name, family.GetType())
				}
				for _, match := range labelValue.FindAllStringSubmatch(target.Expr, -1) {
					if !hasLabel(family, match[1], match[2]) {
						t.Errorf("%s: %s has no %s=%q", panel.Title, name, match[1], match[2])
					}
				}
			}
		}
	}
	for _, variable := range d.Templating.List {
		for _, name := range metricName.FindAllString(variable.Definition, -1) {
			familyOf("variable "+variable.Name, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(exported)) {
		if !shown[name] {
			t.Errorf("%s is in no panel", name)
		}
	}
}

func hasLabel(family *dto.MetricFamily, name, value string) bool {
	return slices.ContainsFunc(family.GetMetric(), func(m *dto.Metric) bool {
		return slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == name && l.GetValue() == value })
	})
}

// It can be imported anywhere: no data source of somebody's is in it, and no panel hides another.
func TestDashboardCanBeImported(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	if d.UID == "" || d.SchemaVersion < 36 || len(d.Panels) == 0 {
		t.Errorf("uid %q, schemaVersion %d, %d panels", d.UID, d.SchemaVersion, len(d.Panels))
	}
	if len(d.Templating.List) == 0 || d.Templating.List[0].Name != "datasource" || d.Templating.List[0].Type != "datasource" {
		t.Error("the first variable must be the data source: the others are read from it")
	}
	want := datasource{"prometheus", "${datasource}"}
	ids := make(map[int]bool)
	for i, panel := range d.Panels {
		if ids[panel.ID] {
			t.Errorf("%s: the ID %d is taken", panel.Title, panel.ID)
		}
		ids[panel.ID] = true
		at := panel.GridPos
		if at.W < 1 || at.H < 1 || at.X < 0 || at.X+at.W > 24 {
			t.Errorf("%s is at %v", panel.Title, at)
		}
		for _, other := range d.Panels[:i] {
			o := other.GridPos
			if at.X < o.X+o.W && o.X < at.X+at.W && at.Y < o.Y+o.H && o.Y < at.Y+at.H {
				t.Errorf("%s hides %s", panel.Title, other.Title)
			}
		}
		if panel.Type == "row" {
			continue
		}
		if panel.Datasource == nil || *panel.Datasource != want {
			t.Errorf("%s: data source %v, want %v", panel.Title, panel.Datasource, want)
		}
		for _, target := range panel.Targets {
			if target.Datasource != want {
				t.Errorf("%s: data source %v, want %v", panel.Title, target.Datasource, want)
			}
		}
	}
}

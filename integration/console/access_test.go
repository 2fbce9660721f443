package console

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// TestAxe has axe look at each page and dialog, in the light and in the dark, and at the width of a phone.
func TestAxe(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile("../testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	s := startSite(t, embedded(t))
	s.seed(t)
	b := openBrowser(t, s, administrator)
	check := func(where string) {
		t.Helper()
		b.settled()
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			for _, violation := range b.axe(string(program)) {
				t.Errorf("%s, %s: %s", where, scheme, violation)
			}
		}
	}
	for _, width := range []int64{1280, 360} {
		b.do(chromedp.EmulateViewport(width, 800))
		size := fmt.Sprintf("%d px wide", width)
		for _, path := range []string{"/deployments", "/deployments/etl", "/deployments/marketing", "/deployments/etl/members", "/deployments/etl/audit", "/deployments/etl/connect", "/deployments/there-is-none", "/token", "/nothing-here"} {
			b.open(path)
			check(path + ", " + size)
			if over := eval[int](b, `() => document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("%s, %s: the page is %d px wider than the window", path, size, over)
			}
		}
		b.open("/deployments")
		b.click("Create Deployment")
		check("Create Deployment, " + size)
		b.click("Create Deployment")
		check("Create Deployment with a mistake, " + size)
		b.open("/deployments/etl/members")
		b.click("Add member")
		check("Add member, " + size)
		b.open("/deployments/etl")
		b.click("Edit Deployment")
		check("Edit Deployment, " + size)
		b.click("Delete Deployment")
		check("Delete Deployment, " + size)
		b.open("/deployments/etl")
		b.clickIn("GitHub Actions", "Edit")
		check("Edit, " + size)
		b.click("Rotate")
		check("Rotate, " + size)
		b.click("Rotate secret")
		check("the secret, " + size)
		b.click("I've saved the Key Secret")
		check("after a rotation, " + size)
		b.clickIn("GitHub Actions", "Edit")
		b.click("Delete API Key")
		check("Delete API Key, " + size)
	}
	// It would tell: what is wrong here is only wrong for this line.
	b.open("/deployments")
	b.settled()
	eval[bool](b, `() => { document.querySelector("h1").style.color = "#ddd"; return true; }`)
	b.scheme("light")
	if found := b.axe(string(program)); len(found) != 1 || !strings.Contains(found[0], "color-contrast") {
		t.Errorf("a title that is hard to read: axe says %q", found)
	}
	// For somebody who is no member of anything, and for a reader.
	for _, user := range []string{stranger, viewer} {
		b = openBrowser(t, s, user)
		for _, path := range []string{"/deployments", "/deployments/etl", "/deployments/etl/members"} {
			b.open(path)
			check(path + " for " + user)
		}
	}
}

// axe returns what is serious or critical in the page in view.
func (b *browser) axe(program string) []string {
	b.t.Helper()
	type violation struct {
		ID, Impact, Help string
		Nodes            []string
	}
	if !eval[bool](b, `() => "axe" in window`) {
		ctx, cancel := b.within()
		defer cancel()
		b.must(chromedp.Run(ctx, chromedp.Evaluate[bool](program+"\n;true")))
	}
	found := eval[struct {
		Violations []violation
		Passes     int
	}](b, `async () => {
		const {violations, passes} = await axe.run(document, {resultTypes: ["violations"]});
		return {passes: passes.length, violations: violations.map(({id, impact, help, nodes}) => ({id, impact, help, nodes: nodes.map((node) => node.html.slice(0, 160) + " " + node.any.map((check) => check.message).join("; "))}))};
	}`)
	if found.Passes < 10 {
		b.t.Errorf("axe has looked at next to nothing: %d rules have passed", found.Passes)
	}
	var serious []string
	for _, v := range found.Violations {
		text := fmt.Sprintf("%s, %s: %s\n\t%s", v.Impact, v.ID, v.Help, strings.Join(v.Nodes, "\n\t"))
		if v.Impact == "serious" || v.Impact == "critical" {
			serious = append(serious, text)
		} else {
			b.t.Logf("axe, not serious: %s", text)
		}
	}
	return serious
}

// seed makes Deployments, keys and members, as a console has them that is in use.
func (s *site) seed(t *testing.T) {
	t.Helper()
	s.newDeployment(t, "etl", "Nightly ETL")
	for _, d := range []struct{ id, name, description string }{
		{"billing", "Billing reports", "Invoices and revenue, once an hour"},
		{"marketing", "Marketing", ""},
		{"ml", "Model training", "Trains what recommends; needs the big machines"},
	} {
		s.newDeployment(t, d.id, d.name)
		gatewaytest.Call(t, http.MethodPatch, s.Admin("/deployments/"+d.id), map[string]any{"description": d.description}).Want(http.StatusOK)
	}
	s.putMember(t, "etl", "grace", "editor")
	for _, key := range []map[string]any{
		{"name": "Jenkins", "description": "Deploys the main branch"},
		{"name": "GitHub Actions", "description": "Environment production", "allowed_ips": []string{"192.0.2.0/24"}},
		{"name": "Dashboard", "description": "Reads the state of runs", "scopes": []string{"airflow:read"}},
		{"name": "Contractors", "description": "Ends with their contract", "scopes": []string{"airflow:read", "airflow:write"}},
		{"name": "Migration", "description": "For the move to the new warehouse"},
	} {
		gatewaytest.Call(t, http.MethodPost, s.Admin("/deployments/etl/keys"), key).Want(http.StatusCreated)
	}
	keys := s.keys(t, "etl")
	for i, expires := range map[int]time.Time{3: time.Now().AddDate(0, 0, 5), 4: time.Now().AddDate(0, -1, 0)} {
		gatewaytest.Call(t, http.MethodPatch, s.Admin("/deployments/etl/keys/"+keys[i].ID), map[string]any{"expires_at": expires.Format(time.RFC3339)}).Want(http.StatusOK)
	}
}

// TestKeyboard walks the main journey without a mouse. All that has the focus on the way shows it.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	s := startSite(t, embedded(t))
	s.newDeployment(t, "etl", "Nightly ETL")
	b := openBrowser(t, s, admin)
	b.press("\t")
	b.wantFocus("Skip to the content")
	b.tabTo("Nightly ETL")
	b.press("\r")
	await[bool](b, "the page of the Deployment", `() => location.pathname === "/deployments/etl" || null`)
	b.settled()
	b.tabTo("Add API Key")
	b.press("\r")
	b.wantFocus("Name")
	b.press("Jenkins")
	b.tabTo("Description")
	b.press("deploys")
	b.tabTo("airflow:write change things through the Airflow API")
	b.press(" ")
	b.tabTo("Create API Key")
	b.press("\r")
	b.wantFocus("Copy API Key ID")
	b.press("\x1b")
	b.wantFocus("Copy API Key ID") // Escape does not lose the secret
	b.tabTo("Copy API Key Secret")
	b.tabTo("I've saved the Key Secret")
	b.press("\r")
	b.wantFocus("Edit Jenkins")
	b.press("\r")
	b.wantFocus("Name")
	b.press("\x1b")
	b.wantFocus("Edit Jenkins")
	b.press("\r")
	b.tabTo("Delete API Key")
	b.press("\r")
	b.wantFocus("Type Jenkins to confirm")
	b.press("\x1b")
	b.wantFocus("Delete API Key") // and not at the top of the dialog below
	b.press("\r")
	b.wantFocus("Type Jenkins to confirm")
	b.press("\r") // nothing: it is not confirmed
	b.press("Jenkins")
	b.press("\r")
	b.see("No API Keys yet")
	if keys := s.keys(t, "etl"); len(keys) != 0 {
		t.Errorf("the keys are %+v, want none", keys)
	}
	b.wantQuiet()
}

// focusName is the name of what has the focus.
const focusName = `
	const focused = document.activeElement;
	const label = focused?.labels?.[0];
	const name = () => {
		if (!focused || focused === document.body) return "";
		if (!label) return plain(focused.getAttribute("aria-label") ?? focused.innerText);
		const copy = label.cloneNode(true);
		copy.querySelectorAll(".hint, input, textarea, select").forEach((element) => element.remove());
		return plain(copy.textContent);
	};
`

// wantFocus waits until what has this name has the focus, and looks whether that is to be seen.
func (b *browser) wantFocus(words string) {
	b.t.Helper()
	await[bool](b, fmt.Sprintf("the focus on %q", words), `(words) => {`+inView+focusName+` return name() === words || null; }`, words)
	b.wantOutline(words)
}

// wantOutline fails the test if the focus is not to be seen.
func (b *browser) wantOutline(words string) {
	b.t.Helper()
	if !eval[bool](b, `() => { const style = getComputedStyle(document.activeElement); return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2; }`) {
		b.t.Errorf("it is not to be seen that %q has the focus", words)
	}
}

// tabTo presses Tab until what has this name has the focus.
func (b *browser) tabTo(words string) {
	b.t.Helper()
	var passed []string
	for range 60 {
		b.press("\t")
		name := eval[string](b, `() => {`+inView+focusName+` return name(); }`)
		if name != "" {
			b.wantOutline(name)
		}
		if name == words {
			return
		}
		passed = append(passed, name)
	}
	b.t.Fatalf("Tab does not come to %q, but to %q", words, passed)
}

package console

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestScreenshots makes the pictures of README.md and docs/console.md: make screenshots.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv("DEPLOYMENT_KEYS_SCREENSHOTS")
	if folder == "" {
		t.Skip("DEPLOYMENT_KEYS_SCREENSHOTS does not name a folder: make screenshots does")
	}
	s := startSite(t, embedded(t))
	s.seed(t)
	key := s.NewKey(t, "ml")
	s.Token(t, s.jobs, key)
	b := openBrowser(t, s, admin)
	shoot := func(name string) {
		t.Helper()
		const most = 150 << 10
		b.settled()
		ctx, cancel := b.within()
		defer cancel()
		picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if len(picture) > most {
			t.Errorf("%s has %d KB, want at most %d", name, len(picture)>>10, most>>10)
		}
		if err := os.WriteFile(filepath.Join(folder, "console-"+name+".png"), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	size := func(width, height int64) {
		t.Helper()
		b.do(chromedp.EmulateViewport(width, height))
	}

	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		size(1280, 760)
		b.open("/deployments/etl")
		b.see("Jenkins")
		shoot("keys-" + scheme)
	}
	b.scheme("light")
	b.open("/deployments")
	b.see("Nightly ETL")
	shoot("deployments-light")
	b.open("/deployments/etl/connect")
	b.see("Jenkins")
	b.scheme("dark")
	shoot("connect-dark")
	b.scheme("light")
	b.open("/deployments/etl/audit")
	b.see("API Key created")
	shoot("audit-light")
	b.open("/deployments/etl")
	b.click("Add API Key")
	b.fill("Name", "Staging")
	b.fill("Description", "Deploys every branch")
	b.click("Create API Key")
	b.see("It is not shown again.")
	shoot("secret-light")
	b.click("I've saved the Key Secret")
	b.clickIn("Dashboard", "Edit")
	b.click("Delete API Key")
	b.fill("Type Dashboard to confirm", "Dash")
	shoot("delete-light")

	size(390, 844)
	b.open("/deployments/etl")
	b.see("Jenkins")
	shoot("keys-phone")
	b.clickIn("Jenkins", "Edit")
	b.see("Edit Jenkins")
	b.scheme("dark")
	shoot("edit-phone-dark")
	b.open("/token")
	b.see("Valid until")
	// A token of this gateway, which is gone by now, but texts like it set off those who scan for secrets.
	eval[bool](b, `() => { const shown = document.getElementById("token-text"); shown.textContent = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9." + "x".repeat(260); return true; }`)
	shoot("token-phone-dark")
}

package console

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

const assets = "../../admin/console/assets"

// TestAssetsAreSmall adds up all files that pages can ask for.
func TestAssetsAreSmall(t *testing.T) {
	t.Parallel()
	const most = 150 << 10
	total := 0
	err := fs.WalkDir(os.DirFS(assets), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		total += int(info.Size())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("figure: all assets of the console: %d KB", total>>10)
	if total > most || total == 0 {
		t.Errorf("the assets have %d bytes, want at most %d", total, most)
	}
}

// TestSnippetsAreTheTemplates: what Connect shows for CI systems are the templates that the tests with a real Airflow run.
func TestSnippetsAreTheTemplates(t *testing.T) {
	t.Parallel()
	for snippet, template := range map[string]string{
		"github-actions.txt": "github-actions.yml",
		"gitlab-ci.txt":      "gitlab-ci.yml",
		"jenkins.txt":        "Jenkinsfile",
		"deploy.sh.txt":      "deploy.sh",
	} {
		got, err := os.ReadFile(filepath.Join(assets, "snippets", snippet))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("../../examples/ci", template))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("assets/snippets/%s is not examples/ci/%s: copy it", snippet, template)
		}
	}
}

// Package repotest tests the repository itself: which package imports which, what a build is made of, that xcaddy can
// build the plugin, and that the documents name what exists. It has tests only.
package repotest

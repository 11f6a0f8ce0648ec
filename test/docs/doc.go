// Package docs holds the documents and the tree against each other: words that
// the glossary forbids, sizes of files and packages, packages without a line in
// docs/packages.md, and paths that a document names and that do not exist.
package docs

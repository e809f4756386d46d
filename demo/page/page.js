// What Gradio has no option for. A file of its own, so that the page needs no script inside the page.

// A link that appears in #file is a finished download: one click for the visitor, however long the
// file took to be written.
// The pictures before and after get names for those who cannot see them.
let saved = null;
new MutationObserver(() => {
  const link = document.querySelector("#file a");
  if (link && link.dataset.number !== saved) {
    saved = link.dataset.number;
    link.click();
  }
  document.querySelectorAll("#comparison img").forEach((picture) => {
    const name = picture.src.includes("/before") ? "Before" : "After";
    if (picture.alt !== name) picture.alt = name;
  });
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["src", "href"] });

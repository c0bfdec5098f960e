// Escape closes the part that was opened around the focus, and gives the focus back to what opens it. One that ends an
// input method's composition, or that something else took, is not meant.

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229 || event.defaultPrevented) return;
  const opened = event.key === "Escape" && event.target.closest?.("details[open]");
  if (!opened) return;
  opened.open = false;
  opened.querySelector("summary").focus();
  event.preventDefault();
});

"""How the page looks: Gradio's theme and our style sheet, light and dark, phone to wide screen."""

from pathlib import Path

from gradio import themes

# Names given as text are fonts of the visitor's own system; gradio's default theme would fetch
# some from the web.
THEME = themes.Base(
    primary_hue="sky",
    neutral_hue="slate",
    radius_size="lg",
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    body_background_fill="*neutral_50",
    body_text_color_subdued="*neutral_500",  # the theme's own grey is too faint to read
    # White on the theme's own blue is too faint to read.
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_600",
    button_primary_text_color="white",
    button_primary_text_color_dark="white",
    slider_color="*primary_600",
    block_shadow="0 1px 2px rgb(0 0 0 / 0.04)",
)
CSS = Path(__file__).with_name("style.css").read_text()

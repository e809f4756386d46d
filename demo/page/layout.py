"""What stands where on the page, and how it looks; what happens on a click is in
`demo.page.events`."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio import themes

from demo.page.model_card import ModelCard, render_model_card, summarise
from demo.photos.limits import Limits

_HEADING = (
    "# Photo enhancer\n"
    "Drop one photo or many, compare before and after, download the results at full size."
)
_FORMATS = (
    "JPEG, PNG, TIFF, WebP, HEIC or camera RAW. At most {limits.upload_megabytes} MB and "
    "{limits.megapixels} megapixels a photo, {limits.photos_per_batch} photos at a time."
)
_PRIVACY = (
    "Photos stay on this server, are passed on to nobody, and are deleted {limits.keep_minutes} "
    "minutes after their last use."
)
_PLACEHOLDER = '<div id="placeholder">The first result appears here</div>'
_PICTURES: dict[str, Any] = {
    "show_label": False,
    "height": "auto",
    "object_fit": "cover",
    "allow_preview": False,
    "interactive": False,
    "buttons": [],
}

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


class Layout:
    """The components that change or are clicked on, put into the page that is being built.

    Args:
        limits: of what visitors may send.
        card: about the model.
        samples: photos that are offered.
    """

    def __init__(self, limits: Limits, card: ModelCard, samples: list[Path]):
        self.is_adjustable = card.is_adjustable
        gr.Markdown(_HEADING, elem_id="heading")
        with gr.Row(elem_id="stage"):
            with gr.Column(scale=4, min_width=300):
                self._add_upload(limits)
            with gr.Column(scale=9, min_width=320):
                self._add_samples(samples)
                self.placeholder = gr.HTML(_PLACEHOLDER, visible=False, padding=False)
                with gr.Column(visible=False, elem_id="results") as self.result_box:
                    self._add_results()
        with gr.Accordion(summarise(card), open=False, elem_id="card"):
            gr.HTML(render_model_card(card), padding=False, elem_id="model")
        gr.Markdown(_PRIVACY.format(limits=limits), elem_id="privacy")

    def _add_upload(self, limits: Limits) -> None:
        # gr.File keeps the uploaded bytes; gr.Image would re-encode them and lose depth, profile
        # and EXIF.
        self.upload = gr.File(
            label="Your photos", file_count="multiple", height=200, elem_id="upload"
        )
        gr.Markdown(_FORMATS.format(limits=limits), elem_id="formats")
        self.button = gr.Button(
            "Enhance", variant="primary", size="lg", interactive=False, elem_id="enhance"
        )
        self.status = gr.HTML(visible=False, padding=False, elem_id="status")

    def _add_samples(self, samples: list[Path]) -> None:
        with gr.Column(visible=bool(samples)) as self.sample_box:
            gr.Markdown("**No photo at hand?** Try a rendered room.")
            pictures = [str(path) for path in samples]
            self.samples = gr.Gallery(pictures, columns=2, elem_id="samples", **_PICTURES)

    def _add_results(self) -> None:
        self.shown = gr.HTML(padding=False, elem_id="shown")
        self.comparison = gr.ImageSlider(
            show_label=False,
            type="filepath",
            max_height=620,
            interactive=False,
            buttons=["fullscreen"],  # no download here: these are previews
            elem_id="comparison",
        )
        self.photos = gr.Gallery(
            visible=False, columns=6, fit_columns=False, elem_id="photos", **_PICTURES
        )
        self.strength = gr.Slider(
            0,
            100,
            100,
            step=1,
            label="Strength, %",
            info="of all photos; 0 is the photo as it was",
            elem_id="strength",
        )
        with gr.Row(visible=self.is_adjustable, elem_id="taste"):
            self.brightness = gr.Slider(-100, 100, 0, step=5, label="Brightness")
            self.warmth = gr.Slider(-100, 100, 0, step=5, label="Warmth")
        self.one_home = gr.Checkbox(
            visible=False,
            label="The photos are of one home",
            info="white balance and brightness are drawn together",
            elem_id="one-home",
        )
        with gr.Row(elem_id="actions"):
            self.download = gr.Button("Download", variant="primary", elem_id="download")
            self.download_all = gr.Button("Download all", visible=False, elem_id="download-all")
            self.start_over = gr.Button("Start over", elem_id="start-over")
        self.file = gr.HTML(padding=False, elem_id="file")

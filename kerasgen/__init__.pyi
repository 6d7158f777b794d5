from .catalog import list_recipes
from .errors import InputError, RunError
from .export.verify import verify
from .models.autoencoder import Autoencoder
from .models.base import GenerativeModel, Model, load
from .models.ddpm import DDPM
from .models.gan import GAN
from .models.image_classifier import ImageClassifier
from .models.language_model import LanguageModel
from .models.phase import Phase
from .models.text_classifier import TextClassifier
from .models.translator import Translator
from .models.vae import VAE
from .recipe import Recipe
from .signature import Signature, served

__version__: str
__all__ = [
    "DDPM",
    "GAN",
    "VAE",
    "Autoencoder",
    "GenerativeModel",
    "ImageClassifier",
    "InputError",
    "LanguageModel",
    "Model",
    "Phase",
    "Recipe",
    "RunError",
    "Signature",
    "TextClassifier",
    "Translator",
    "list_recipes",
    "load",
    "served",
    "verify",
]

"""The keys of TensorFlowASR's configurations: what each becomes in asrlib, or why it has no effect.

A key that has several places (`asrlib.config.tensorflowasr_places`) is listed once. docs/configuration.md has
the same as a table; a test checks that the two agree. Lesson 10.
"""

BLOCKS = "model_config.encoder_blocks"
TIME, FREQ = MASKS = (
    "learning_config.augmentations.after.time_masking",
    "learning_config.augmentations.after.freq_masking",
)

# TensorFlowASR keys whose value is copied unchanged to an asrlib key
SAME = {
    "speech_config.sample_rate": "features.sample_rate",
    "speech_config.frame_ms": "features.window_ms",
    "speech_config.stride_ms": "features.hop_ms",
    "speech_config.num_feature_bins": "features.mels",
    "speech_config.preemphasis": "features.preemphasis",
    "speech_config.normalize_signal": "features.normalize_signal",
    "speech_config.top_db": "features.top_db",
    "speech_config.center": "features.centered",
    "speech_config.pad_end": "features.pad_end",
    "speech_config.output_floor": "features.log_floor",
    "speech_config.lower_edge_hertz": "features.low_hz",
    "speech_config.upper_edge_hertz": "features.high_hz",
    "speech_config.nfft": "features.fft_size",
    "decoder_config.target_vocab_size": "tokenizer.vocabulary",
    "decoder_config.vocab_size": "tokenizer.vocabulary",
    "decoder_config.max_subword_length": "tokenizer.max_piece_length",
    "decoder_config.max_token_length": "tokenizer.max_piece_length",
    "decoder_config.max_sentencepiece_length": "tokenizer.max_piece_length",
    "decoder_config.model_type": "tokenizer.model_type",
    "decoder_config.beam_width": "decoding.beam_width",
    "decoder_config.norm_score": "decoding.norm_score",
    "model_config.name": "name",
    "model_config.vocab_size": "tokenizer.vocabulary",
    "model_config.encoder_alpha": "encoder.alpha",
    "model_config.prediction_label_encode_mode": "prediction.encoding",
    "model_config.prediction_embed_dim": "prediction.embed_dim",
    "model_config.prediction_embed_dropout": "prediction.dropout",
    "model_config.prediction_num_rnns": "prediction.layers",
    "model_config.prediction_rnn_units": "prediction.units",
    "model_config.prediction_rnn_type": "prediction.rnn",
    "model_config.prediction_layer_norm": "prediction.layer_norm",
    "model_config.prediction_projection_units": "prediction.projection",
    "model_config.joint_dim": "joint.dim",
    "model_config.joint_activation": "joint.activation",
    "model_config.joint_mode": "joint.mode",
    "model_config.prejoint_linear": "joint.encoder_linear",
    "model_config.prejoint_encoder_linear": "joint.encoder_linear",
    "model_config.prejoint_prediction_linear": "joint.prediction_linear",
    "model_config.postjoint_linear": "joint.post_linear",
    f"{TIME}.num_masks": "augment.time_masks",
    f"{TIME}.mask_factor": "augment.time_width",
    f"{TIME}.p_upperbound": "augment.time_fraction",
    f"{TIME}.prob": "augment.time_probability",
    f"{FREQ}.num_masks": "augment.freq_masks",
    f"{FREQ}.mask_factor": "augment.freq_width",
    f"{FREQ}.prob": "augment.freq_probability",
    "learning_config.optimizer_config.warmup_steps": "training.warmup_steps",
    "learning_config.optimizer_config.epsilon": "training.eps",
    "learning_config.learning_rate_config.warmup_steps": "training.warmup_steps",
    "learning_config.learning_rate_config.max_lr": "training.max_lr",
    "learning_config.learning_rate_config.dmodel": "training.schedule_width",
    "learning_config.learning_rate_config.scale": "training.schedule_factor",
    "learning_config.apply_gwn_config.predict_net_step": "training.weight_noise_start",
    "learning_config.apply_gwn_config.predict_net_stddev": "training.weight_noise",
    "learning_config.running_config.batch_size": "training.batch_utterances",
    "learning_config.running_config.accumulation_steps": "training.accumulate",
    "learning_config.running_config.num_epochs": "training.epochs",
    "learning_config.running_config.log_interval_steps": "training.log_every",
    "learning_config.running_config.save_interval_steps": "training.checkpoint_every",
    "learning_config.running_config.eval_interval_steps": "training.evaluate_every",
}

# what null means for keys in SAME that may be null
NULL = {
    "speech_config.preemphasis": 0.0,
    "speech_config.top_db": None,
    "speech_config.nfft": None,
    "decoder_config.model_type": "unigram",
    "learning_config.learning_rate_config.max_lr": float("inf"),
    "learning_config.running_config.accumulation_steps": 1,
}

# TensorFlowASR's key of a block, and asrlib's
BLOCK_KEYS = {
    "nlayers": "layers",
    "kernel_size": "kernel",
    "filters": "filters",
    "strides": "stride",
    "residual": "residual",
    "activation": "activation",
    "padding": "padding",
}

# TensorFlowASR keys that have an effect, and the asrlib key that they set
HONORED = {
    **SAME,
    "speech_config.feature_type": "features",
    "speech_config.normalize_feature": "features.normalize",
    "speech_config.normalize_per_feature": "features.normalize",
    "speech_config.normalize_zscore": "features.normalize",
    "speech_config.compute_energy": "features.spectrum",
    "speech_config.use_natural_log": "features.log_unit",
    "speech_config.log_base": "features.log_unit",
    "speech_config.fft_overdrive": "features.fft_size",
    "decoder_config.type": "tokenizer.kind",
    "decoder_config.vocabulary": "tokenizer.file",
    "decoder_config.reserved_tokens": "tokenizer.reserved",
    "decoder_config.normalization_form": "tokenizer.normalize",
    "model_config.class_name": "encoder.kind",
    "model_config.kernel_regularizer": "training.l2",
    **{f"{BLOCKS}[].{theirs}": f"encoder.blocks[].{ours}" for theirs, ours in BLOCK_KEYS.items()},
    "learning_config.optimizer_config.class_name": "training",
    "learning_config.optimizer_config.learning_rate.class_name": "training.schedule",
    "learning_config.optimizer_config.beta1": "training.betas[0]",
    "learning_config.optimizer_config.beta_1": "training.betas[0]",
    "learning_config.optimizer_config.beta2": "training.betas[1]",
    "learning_config.optimizer_config.beta_2": "training.betas[1]",
    "learning_config.learning_rate_config.max_lr_numerator": "training.max_lr",
}

# values of keys that asrlib's models have in any case; others are errors
ONLY = {
    "speech_config.feature_type": ("log_mel_spectrogram",),
    "speech_config.delta": (False, None),
    "speech_config.delta_delta": (False, None),
    "speech_config.pitch": (False, None),
    "speech_config.padding": (0, None),
    "speech_config.normalize_per_frame": (False, None),
    "speech_config.normalize_min_max": (False, None),
    "speech_config.use_librosa_like_stft": (False, None),
}
HONORED |= {key: "features" for key in ONLY}

_CORPUS = "corpora are given by --corpus"
_OUT = "output goes to --out"
_TRAINER = "for the training of TensorFlow's tokenizers"
_LABELS = "blank is label 0, unknown is 1"
_KERNEL = "no effect on results"
_TRAINING = "asrlib's training is without it"
_LM = "a language model is given when decoding (--lm)"
_AUGMENT = "asrlib augments sound in other ways (augment)"

# TensorFlowASR keys and sections without effect, and the reason
NO_EFFECT = {
    **dict.fromkeys(("model_config.blank", "decoder_config.blank_at_zero"), _LABELS),
    **{
        f"decoder_config.{token}_{kind}": _LABELS
        for token in ("blank", "unknown", "pad", "bos", "eos")
        for kind in (("index",) if token == "blank" else ("token", "index"))
    },
    **{f"decoder_config.{key}": _LM for key in ("lm_config", "lm_alpha", "lm_beta", "lm_type")},
    **{
        f"decoder_config.{key}": _TRAINER
        for key in (
            "max_unique_chars",
            "num_iterations",
            "keep_whitespace",
            "character_coverage",
            "max_sentence_length",
            "max_corpus_chars",
            "output_path_prefix",
        )
    },
    **{f"decoder_config.{key}": _CORPUS for key in ("train_files", "eval_files", "corpus_files")},
    "model_config.prediction_rnn_implementation": _KERNEL,
    "model_config.prediction_rnn_unroll": _KERNEL,
    "model_config.encoder_trainable": _TRAINING,
    "model_config.prediction_trainable": _TRAINING,
    "model_config.joint_trainable": _TRAINING,
    "model_config.bias_regularizer": "training.l2 is for all weights",
    "learning_config.augmentations.before": _AUGMENT,
    "learning_config.augmentations.include_original": _AUGMENT,
    "learning_config.augmentations.after.gauss_noise": "noise is added to sound, not to features",
    f"{TIME}.mask_value": "masks are filled with 0",
    f"{FREQ}.mask_value": "masks are filled with 0",
    **{
        f"learning_config.{key}": _CORPUS
        for key in (
            "dataset_config",
            "train_dataset_config",
            "eval_dataset_config",
            "test_dataset_config",
            "test_dataset_configs",
            "lm_dataset_config",
        )
    },
    "learning_config.pretrained": "weights are read by asrlib import",
    "learning_config.optimizer_config.weight_decay": _TRAINING,
    "learning_config.optimizer_config.learning_rate": "the rate follows training.schedule",
    "learning_config.learning_rate_config.min_lr": _TRAINING,
    "learning_config.apply_gwn_config.joint_net_step": _TRAINING,
    "learning_config.apply_gwn_config.joint_net_stddev": _TRAINING,
    "learning_config.gradn_config": _TRAINING,
    **{
        f"learning_config.{key}": _OUT
        for key in (
            "callbacks",
            "running_config.outdir",
            "running_config.states_dir",
            "running_config.checkpoint",
            "running_config.backup_and_restore",
            "running_config.tensorboard",
            "running_config.early_stopping",
        )
    },
}

"""Typed events, one model for each event type. Written by `biokeel schema models`; not to be edited.

Times need a time zone. Units are UCUM. See `biokeel.source.model` for what all of them share.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from biokeel.source.model import EventModel, Part

Moment = Annotated[
    AwareDatetime,
    Field(
        ge=dt.datetime(1900, 1, 1, tzinfo=dt.UTC),
        le=dt.datetime(2100, 12, 31, 23, 59, 59, 999000, tzinfo=dt.UTC),
    ),
]
EnrolmentSex = Literal[
    "female",
    "male",
    "other",
    "unknown",
]
EnrolmentConsentScope = Literal[
    "genome",
    "clinical",
    "lifestyle",
]
SubjectSchemeCode = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?:KR_RRN|KR_FRN|(?:hospital|sample|app)/[a-z0-9][a-z0-9.-]{0,47})$",
    ),
]
WithdrawalScope = Literal[
    "further_collection",
    "erasure",
]
SampleManifestSexReported = Literal[
    "female",
    "male",
    "unknown",
]
SampleManifestReferenceBuild = Literal[
    "GRCh37",
    "GRCh38",
    "T2T-CHM13v2.0",
]
SampleManifestPlatform = Literal[
    "CAPILLARY",
    "DNBSEQ",
    "ELEMENT",
    "HELICOS",
    "ILLUMINA",
    "IONTORRENT",
    "LS454",
    "ONT",
    "PACBIO",
    "SINGULAR",
    "SOLID",
    "ULTIMA",
]
SampleManifestOccurredBasis = Literal[
    "stated",
    "recorded",
]
SampleManifestStatus = Literal[
    "final",
    "amended",
    "corrected",
    "entered-in-error",
]
SampleManifestOccurredPrecision = Literal[
    "year",
    "month",
    "day",
    "minute",
    "second",
    "millisecond",
]
QcMetricsPipeline = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?:npm\-sample\-qc|DRAGEN|nf\-core\-sarek|nf\-core\-raredisease|gatk4\-germline|parabricks\-germline|glimpse\-qc|bcbio\-nextgen|argo\-dnaalnqc|argo\-vcfqc)(?:[ -]v?[0-9]{1,3}(?:\.[0-9]{1,3}){0,3})?$",  # noqa: E501
    ),
]
QcMetricsReportType = Literal[
    "ga4gh-wgs-qc",
    "ga4gh-vcf-qc",
    "samtools-stats",
    "samtools-flagstat",
    "mosdepth-summary",
    "mosdepth-global-dist",
    "verifybamid-selfsm",
    "picard-wgs",
    "picard-insert-size",
    "picard-alignment-summary",
    "picard-quality-yield",
    "picard-variant-calling-detail",
    "bcftools-stats",
    "somalier-samples",
    "peddy-het-check",
    "peddy-sex-check",
    "dragen-mapping",
    "dragen-wgs-coverage",
    "dragen-overall-mean-coverage",
    "dragen-variant-caller",
    "dragen-gvcf",
    "dragen-ploidy",
    "fastp",
]
QcMetricsQcTool = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?:samtools|bcftools|mosdepth|VerifyBamID|Picard|somalier|peddy|DRAGEN|fastp)(?:[ -]v?[0-9]{1,3}(?:\.[0-9]{1,3}){0,3})?$",  # noqa: E501
    ),
]
QcMetricsSpecimenRole = Literal[
    "tumor",
    "normal",
]
QcMetricsVariantsCounted = Literal[
    "pass",
    "all",
]
QcMetricsSexInferred = Literal[
    "female",
    "male",
]
Sha256Code = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9a-f]{64}$",
    ),
]
VariantFileReadyFileFormat = Literal[
    "vcf",
    "vcf.gz",
    "gvcf",
    "gvcf.gz",
    "bcf",
]
LoincCode = Annotated[
    str,
    StringConstraints(
        pattern=r"^[1-9][0-9]{0,5}-[0-9]$",
    ),
]
BloodPressureBodyPosition = Literal[
    "sitting",
    "standing",
    "supine",
    "semi-recumbent",
    "unknown",
]
BloodPressureStatus = Literal[
    "registered",
    "preliminary",
    "final",
    "amended",
    "corrected",
    "cancelled",
    "entered-in-error",
    "unknown",
]
GlucoseComparator = Literal[
    "<",
    "<=",
    ">=",
    ">",
]
GlucoseValueUnit = Literal[
    "mg/dL",
    "mmol/L",
]
GlucoseRelationToMeal = Literal[
    "fasting",
    "before_meal",
    "after_meal",
    "bedtime",
    "unknown",
]
GlucoseSpecimen = Literal[
    "blood",
    "capillary_blood",
    "plasma",
    "serum",
    "interstitial_fluid",
]
DiagnosisCodeSystem = Literal[
    "KCD-8",
    "KCD-9",
    "ICD-10",
    "ICD-10-CM",
    "SNOMED-CT",
    "KCD-7",
]
DiagnosisClinicalStatus = Literal[
    "active",
    "recurrence",
    "relapse",
    "inactive",
    "remission",
    "resolved",
]
DiagnosisVerificationStatus = Literal[
    "unconfirmed",
    "provisional",
    "differential",
    "confirmed",
    "refuted",
    "entered-in-error",
]
LoincHiraEdiProcedureCode = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?:[1-9][0-9]{0,5}-[0-9]|(?:[A-Z][0-9]{4}|[A-Z]{2}[0-9]{3})(?:[0-9]{3})?)$",
    ),
]
LabResultCodeSystem = Literal[
    "LOINC",
    "HIRA-EDI",
]
LabResultValueUnit = Literal[
    "1",
    "%",
    "%{vol}",
    "10*3/mL",
    "10*3/uL",
    "10*4/uL",
    "10*5/L",
    "10*6/L",
    "10*6/mL",
    "10*6/uL",
    "10*9/L",
    "10*9/mL",
    "10*12/L",
    "10*3",
    "10*6",
    "10*9",
    "/uL",
    "/mL",
    "/L",
    "/min",
    "/d",
    "/h",
    "/wk",
    "/mo",
    "/a",
    "/{HPF}",
    "/[HPF]",
    "/[LPF]",
    "/(12.h)",
    "/10*9",
    "/100{WBCs}",
    "/100{cells}",
    "/g",
    "/kg",
    "/m3",
    "kg",
    "g",
    "mg",
    "ug",
    "ng",
    "pg",
    "fg",
    "kg/m2",
    "g/L",
    "g/dL",
    "g/mL",
    "g/g",
    "g/kg",
    "g/d",
    "g/(24.h)",
    "g/(8.h)",
    "g/h",
    "g/m2",
    "g/mol",
    "mg/L",
    "mg/dL",
    "mg/mL",
    "mg/g",
    "mg/kg",
    "mg/mg",
    "mg/mmol",
    "mg/d",
    "mg/(24.h)",
    "mg/h",
    "mg/min",
    "mg/m2",
    "mg/m3",
    "ug/L",
    "ug/dL",
    "ug/mL",
    "ug/g",
    "ug/kg",
    "ug/mg",
    "ug/d",
    "ug/(24.h)",
    "ug/h",
    "ug/min",
    "ug/mmol",
    "ng/L",
    "ng/dL",
    "ng/mL",
    "ng/g",
    "ng/kg",
    "ng/mg",
    "ng/(24.h)",
    "ng/mL/h",
    "ng/min",
    "pg/L",
    "pg/dL",
    "pg/mL",
    "pg/mg",
    "pg/{cell}",
    "fg/mL",
    "mol",
    "mmol",
    "umol",
    "nmol",
    "pmol",
    "mol/L",
    "mmol/L",
    "mmol/mol",
    "mmol/kg",
    "mmol/d",
    "mmol/(24.h)",
    "mmol/mmol",
    "umol/L",
    "umol/mL",
    "umol/g",
    "umol/mol",
    "umol/mmol",
    "umol/d",
    "umol/(24.h)",
    "umol/min/g",
    "nmol/L",
    "nmol/mL",
    "nmol/g",
    "nmol/mg",
    "nmol/mmol",
    "nmol/(24.h)",
    "nmol/min/mL",
    "nmol/h/mL",
    "nmol/h/mg",
    "pmol/L",
    "pmol/mL",
    "pmol/g",
    "pmol/umol",
    "osm/kg",
    "mosm/kg",
    "mosm/L",
    "meq",
    "meq/L",
    "meq/dL",
    "meq/kg",
    "meq/d",
    "meq/(24.h)",
    "eq/L",
    "U",
    "U/L",
    "U/mL",
    "U/dL",
    "U/g",
    "U/kg",
    "U/h",
    "U/d",
    "U/(24.h)",
    "U/g{Hb}",
    "kU/L",
    "mU/L",
    "mU/mL",
    "uU/mL",
    "uU/L",
    "nkat/L",
    "ukat/L",
    "[IU]",
    "[IU]/L",
    "[IU]/mL",
    "[IU]/dL",
    "[IU]/d",
    "[IU]/g",
    "[IU]/h",
    "[IU]/kg",
    "m[IU]/L",
    "m[IU]/mL",
    "u[IU]/mL",
    "k[IU]/L",
    "k[IU]/mL",
    "[arb'U]/mL",
    "[GPL'U]/mL",
    "[MPL'U]/mL",
    "[APL'U]/mL",
    "[CFU]",
    "[CFU]/mL",
    "[CFU]/L",
    "{copies}/mL",
    "{copies}/uL",
    "{copies}",
    "{Log_copies}/mL",
    "{index}",
    "{index_val}",
    "{ratio}",
    "{INR}",
    "{titer}",
    "{score}",
    "{s_co_ratio}",
    "{nominal}",
    "{count}",
    "{cells}/uL",
    "{cells}/[HPF]",
    "{#}/uL",
    "{#}/[HPF]",
    "{#}/[LPF]",
    "{#}",
    "{phenotype}",
    "{percentile}",
    "{EU}/mL",
    "{AU}/mL",
    "{bpm}",
    "{breaths}/min",
    "{beats}/min",
    "s",
    "min",
    "h",
    "d",
    "wk",
    "mo",
    "a",
    "ms",
    "us",
    "ns",
    "mm",
    "mm/h",
    "cm",
    "cm2",
    "m",
    "m2",
    "km",
    "in",
    "[in_i]",
    "[lb_av]",
    "[ft_i]",
    "m/s",
    "um",
    "um2",
    "um3",
    "nm",
    "fL",
    "pL",
    "nL",
    "uL",
    "mL",
    "dL",
    "L",
    "mL/min",
    "mL/min/{1.73_m2}",
    "mL/min/m2",
    "mL/h",
    "mL/d",
    "mL/kg",
    "mL/kg/min",
    "mL/kg/h",
    "mL/m2",
    "mL/(24.h)",
    "L/min",
    "L/h",
    "L/s",
    "L/d",
    "L/(24.h)",
    "L/kg",
    "mm[Hg]",
    "cm[H2O]",
    "kPa",
    "Pa",
    "hPa",
    "mbar",
    "bar",
    "mV",
    "uV",
    "V",
    "Hz",
    "kHz",
    "MHz",
    "dB",
    "Cel",
    "[degF]",
    "K",
    "kcal",
    "kcal/d",
    "kcal/h",
    "J",
    "kJ",
    "W",
    "deg",
    "[pH]",
    "[ppm]",
    "[ppb]",
    "[ppth]",
    "[pptr]",
    "[drp]",
    "[tsp_us]",
    "[tbs_us]",
    "[cup_us]",
    "[oz_av]",
    "[foz_us]",
    "[gal_us]",
    "Ci",
    "mCi",
    "uCi",
    "Bq",
    "kBq",
    "MBq",
    "GBq",
    "Gy",
    "mGy",
    "Sv",
    "mSv",
    "rad",
    "{tablet}",
    "{capsule}",
    "{puff}",
    "{patch}",
    "{drop}",
    "{spray}",
    "{suppository}",
    "{vial}",
    "{ampule}",
    "{injection}",
    "{pack}",
    "{sachet}",
    "{dose}",
    "{unit}",
    "{application}",
    "{fold}",
    "{steps}",
    "{bp}",
    "{variants}",
    "{samples}",
]
SnomedCtLoincAnswerCode = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?:(?:[1-9][0-9]{2,7}00[0-9]|[1-9][0-9]{0,7}1000[0-9]{3}10[0-9])|LA[1-9][0-9]{0,5}-[0-9])$",
    ),
]
LabResultValueSystem = Literal[
    "SNOMED-CT",
    "LOINC-ANSWER",
]
LabResultAbsentReason = Literal[
    "unknown",
    "asked-unknown",
    "temp-unknown",
    "not-asked",
    "asked-declined",
    "masked",
    "not-applicable",
    "unsupported",
    "as-text",
    "error",
    "not-a-number",
    "negative-infinity",
    "positive-infinity",
    "not-performed",
    "not-permitted",
]
LabResultInterpretation = Literal[
    "A",
    "AA",
    "AC",
    "B",
    "CAR",
    "D",
    "DET",
    "E",
    "EX",
    "EXP",
    "H",
    "H>",
    "HH",
    "HM",
    "HU",
    "HX",
    "I",
    "IE",
    "IND",
    "L",
    "L<",
    "LL",
    "LU",
    "LX",
    "MS",
    "N",
    "NCL",
    "ND",
    "NEG",
    "NR",
    "NS",
    "OBX",
    "POS",
    "QCF",
    "R",
    "RR",
    "S",
    "SDD",
    "SYN-R",
    "SYN-S",
    "TOX",
    "U",
    "UNE",
    "VS",
    "W",
    "WR",
    "<",
    ">",
]
MedicationCodeSystem = Literal[
    "RxNorm",
    "ATC",
    "KD",
    "SNOMED-CT",
    "HIRA-EDI",
]
MedicationKind = Literal[
    "request",
    "statement",
    "administration",
]
MedicationStatus = Literal[
    "active",
    "on-hold",
    "cancelled",
    "completed",
    "entered-in-error",
    "stopped",
    "draft",
    "intended",
    "not-taken",
    "unknown",
    "in-progress",
    "not-done",
]
DietMeal = Literal[
    "breakfast",
    "lunch",
    "dinner",
    "snack",
    "unknown",
]
DietFoodCode = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?:[A-Z][0-9]{3}-[0-9]{9}-[0-9]{4}|F[0-9]{1,6})$",
    ),
]
ExerciseActivity = Literal[
    "walking",
    "running",
    "cycling",
    "swimming",
    "hiking",
    "strength",
    "daily_activity",
    "american_football",
    "archery",
    "australian_football",
    "badminton",
    "barre",
    "baseball",
    "basketball",
    "biking",
    "bowling",
    "boxing",
    "calisthenics",
    "climbing",
    "cooldown",
    "core_training",
    "cricket",
    "cross_country_skiing",
    "cross_training",
    "curling",
    "dance",
    "disc_sports",
    "downhill_skiing",
    "elliptical",
    "equestrian_sports",
    "exercise_class",
    "fencing",
    "fishing",
    "fitness_gaming",
    "flexibility",
    "football",
    "frisbee",
    "functional_strength_training",
    "gardening",
    "golf",
    "guided_breathing",
    "gymnastics",
    "hand_cycling",
    "handball",
    "high_intensity_interval_training",
    "hockey",
    "horse_riding",
    "housework",
    "hunting",
    "ice_hockey",
    "ice_skating",
    "jogging",
    "judo",
    "jump_rope",
    "karate",
    "kayaking",
    "kickboxing",
    "lacrosse",
    "martial_arts",
    "meditation",
    "mind_and_body",
    "mixed_cardio",
    "mountain_biking",
    "nordic_walking",
    "open_water_swimming",
    "other",
    "paddle_sports",
    "paragliding",
    "pickleball",
    "pilates",
    "play",
    "pool_swimming",
    "preparation_and_recovery",
    "racquetball",
    "rock_climbing",
    "roller_skating",
    "rope_jumping",
    "rowing",
    "rowing_machine",
    "rugby",
    "running_treadmill",
    "sailing",
    "scuba_diving",
    "skating",
    "skiing",
    "snowboarding",
    "snow_sports",
    "snowshoeing",
    "soccer",
    "social_dance",
    "softball",
    "spinning",
    "sports",
    "squash",
    "stair_climbing",
    "stair_climbing_machine",
    "stationary_biking",
    "stationary_cycling",
    "step_training",
    "stepper",
    "strength_training",
    "stretching",
    "surfing",
    "surfing_sports",
    "swimming_open_water",
    "swimming_pool",
    "table_tennis",
    "tae_kwon_do",
    "taekwondo",
    "tai_chi",
    "tennis",
    "track_and_field",
    "traditional_strength_training",
    "transition",
    "treadmill",
    "treadmill_running",
    "underwater_diving",
    "volleyball",
    "wakeboarding",
    "walking_treadmill",
    "water_fitness",
    "water_polo",
    "water_sports",
    "weightlifting",
    "weight_training",
    "wheelchair",
    "wheelchair_run_pace",
    "wheelchair_walk_pace",
    "wrestling",
    "yoga",
    "zumba",
    "unknown",
]
ExerciseIntensity = Literal[
    "light",
    "moderate",
    "vigorous",
]
VitalSignValueUnit = Literal[
    "/min",
    "%",
    "Cel",
    "[degF]",
    "kg",
    "g",
    "[lb_av]",
    "cm",
    "m",
    "[in_i]",
]
QuestionnaireInstrument = Literal[
    "PHQ-2",
    "PHQ-9",
    "GAD-7",
    "AUDIT",
    "AUDIT-C",
    "FTND",
    "IPAQ-SF",
    "IPAQ-LF",
    "GPAQ",
    "PSQI",
    "ISI",
    "PSS-10",
    "WHO-5",
    "EQ-5D-5L",
]
QuestionnaireKind = Literal[
    "answer",
    "score",
]
QuestionnaireItem = Annotated[
    str,
    StringConstraints(
        pattern=r"^[1-9][0-9]{0,1}[a-z]{0,1}$",
    ),
]
LoincAnswerSnomedCtCode = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?:LA[1-9][0-9]{0,5}-[0-9]|(?:[1-9][0-9]{2,7}00[0-9]|[1-9][0-9]{0,7}1000[0-9]{3}10[0-9]))$",
    ),
]
QuestionnaireValueUnit = Literal[
    "1",
    "{score}",
    "min",
    "h",
    "d",
    "min/d",
    "h/d",
    "d/wk",
    "min/wk",
    "[MET].min/wk",
    "{drinks}",
    "{drinks}/d",
    "{drinks}/wk",
    "{cigarettes}/d",
    "%",
]
QuestionnaireAnsweredBy = Literal[
    "self",
    "interview",
    "proxy",
]
QuestionnaireStatus = Literal[
    "in-progress",
    "completed",
    "amended",
    "entered-in-error",
    "stopped",
]


class EnrolmentIdentifier(Part):
    """A part of person.enrolment.identifiers."""

    scheme: str
    """KR_RRN, KR_FRN, hospital/<site>, sample/<centre> or app/<vendor>."""

    value: str
    """The identifier under the scheme."""


class Enrolment(EventModel):
    """A person joins the programme: who they are to each source, and what they consented to. Applied in the vault,
    never published beyond it.
    """

    event_type: ClassVar[str] = "person.enrolment"

    occurred_at: Moment
    """When the person consented."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    identifiers: list[EnrolmentIdentifier]
    """Every further identifier of the person; subject_id is one too."""

    name: str | None = None
    """The person's name; dropped."""

    phone: str | None = None
    """Telephone number; dropped."""

    email: str | None = None
    """E-mail address; dropped."""

    address: str | None = None
    """Postal address; only the province is kept."""

    birth_date: dt.date | None = None
    """Birth date; only the year is kept."""

    birth_year: Annotated[int, Field(ge=1880, le=2100)] | None = None
    """Year of birth, where the source knows no whole date; birth_date counts where both are there. Unit: a."""

    sex: EnrolmentSex
    """FHIR administrative gender: female, male, other or unknown."""

    consent_scope: list[EnrolmentConsentScope]
    """Domains consented to: genome, clinical, lifestyle. Counts only where consent_stated says so."""

    consent_stated: bool = True
    """Whether consent_scope is what the person was asked and answered; false where the source only knows the person,
    as most patient registers do."""


class IdentifierLinkIdentifier(Part):
    """A part of person.identifier_link.identifiers."""

    scheme: str
    """KR_RRN, KR_FRN, hospital/<site>, sample/<centre> or app/<vendor>."""

    value: str
    """The identifier under the scheme."""


class IdentifierLink(EventModel):
    """A further identifier of an enrolled person becomes known."""

    event_type: ClassVar[str] = "person.identifier_link"

    occurred_at: Moment
    """When the link was established."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    identifiers: list[IdentifierLinkIdentifier]
    """The further identifiers of the person."""


class ConsentChange(EventModel):
    """A person changes the scope of their consent."""

    event_type: ClassVar[str] = "person.consent_change"

    occurred_at: Moment
    """When the person decided."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    consent_scope: list[EnrolmentConsentScope]
    """Domains consented to from now on: genome, clinical, lifestyle."""


class Merge(EventModel):
    """Two records turn out to be one person: the other identifier's participant is merged into the subject's."""

    event_type: ClassVar[str] = "person.merge"

    occurred_at: Moment
    """When the identity was established."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    merged_scheme: SubjectSchemeCode
    """Scheme of merged_id."""

    merged_id: str
    """An identifier of the record that is merged into the subject's."""


class Withdrawal(EventModel):
    """A person withdraws from the programme: nothing that arrives later is let in."""

    event_type: ClassVar[str] = "person.withdrawal"

    occurred_at: Moment
    """When the person decided."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    scope: WithdrawalScope
    """further_collection (keep what there is) or erasure (remove what there is, too)."""


class SampleManifest(EventModel):
    """A sample entered whole-genome sequencing. Files are named, never carried: the event is a claim check."""

    event_type: ClassVar[str] = "genome.sample_manifest"

    occurred_at: Moment
    """When the sample was taken or accessioned, or the date of the sequencing run whose sheet lists it."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    biosample_id: str | None = None
    """Identifier of the biosample in the centre's or a public archive (for example a BioSamples accession)."""

    sex_reported: SampleManifestSexReported
    """Sex as reported with the sample: female, male or unknown (where the source itself says so)."""

    population_code: str | None = None
    """Population of origin as a 1000 Genomes / IGSR code, where the centre states one."""

    reference_build: SampleManifestReferenceBuild | None = None
    """Reference genome of the files: GRCh37, GRCh38 or T2T-CHM13v2.0."""

    platform: SampleManifestPlatform | None = None
    """Sequencing platform, as in the SAM @RG PL tag (ILLUMINA, ONT, PACBIO, DNBSEQ ...)."""

    alignment_uri: str | None = None
    """URI of the alignment file (BAM or CRAM). Names samples, so it stays in the vault zone."""

    variant_uri: str | None = None
    """URI of the variant file (VCF or gVCF). Names samples, so it stays in the vault zone."""

    occurred_basis: SampleManifestOccurredBasis | None = None
    """Where occurred_at is from: stated (the sheet, or whoever published it, says when) or recorded (nobody says;
    recorded_at stands there)."""

    status: SampleManifestStatus | None = None
    """Status of the record (in the words of FHIR's Observation.status): final, amended, corrected or entered-in-
    error, which withdraws the event; null is final."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""


class QcMetrics(EventModel):
    """Quality of one whole genome, in the terms of the GA4GH WGS Quality Control Standard."""

    event_type: ClassVar[str] = "genome.qc_metrics"

    occurred_at: Moment
    """When the quality control ran."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    pipeline: QcMetricsPipeline | None = None
    """Name and version of the quality-control pipeline."""

    report_type: QcMetricsReportType | None = None
    """Which report the event is: all that a pipeline measured (ga4gh-wgs-qc; null where the source does not say), or
    the part of one tool, whose event has only that part's metrics."""

    qc_tool: QcMetricsQcTool | None = None
    """The tool that wrote the report, with its version where the report states it."""

    reference_build: SampleManifestReferenceBuild | None = None
    """Reference genome of the alignment, as the source declares it: GRCh37, GRCh38 or T2T-CHM13v2.0; null where it
    does not."""

    specimen_role: QcMetricsSpecimenRole | None = None
    """Whether the report speaks of the tumour or of the matched normal; null for a germline sample."""

    occurred_basis: SampleManifestOccurredBasis | None = None
    """Where occurred_at is from: stated (the report, or whoever published it, says when the quality control ran) or
    recorded (nobody says; recorded_at stands there)."""

    variants_counted: QcMetricsVariantsCounted | None = None
    """Which variants the counts and ratios are of: pass (those that passed all filters) or all (filters were not
    applied); null where the report does not say."""

    yield_bp_q30: Annotated[int, Field(ge=0, le=100000000000000)] | None = None
    """Bases with quality of at least Q30, adapters and duplicates included. Unit: {bp}."""

    mean_autosome_coverage: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Mean coverage of the autosomes, without duplicates and clipped bases. Unit: {fold}."""

    mad_autosome_coverage: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Median absolute deviation of the autosomes' coverage. Unit: {fold}."""

    pct_autosomes_15x: Annotated[float, Field(ge=0, le=100)] | None = None
    """Share of autosome positions covered at least 15 times. Unit: %."""

    pct_reads_mapped: Annotated[float, Field(ge=0, le=100)] | None = None
    """Share of primary reads that are mapped. Unit: %."""

    pct_reads_properly_paired: Annotated[float, Field(ge=0, le=100)] | None = None
    """Share of primary reads that are properly paired. Unit: %."""

    mean_insert_size: Annotated[float, Field(ge=0, le=10000000)] | None = None
    """Mean insert size of properly paired reads. Unit: {bp}."""

    insert_size_std_deviation: Annotated[float, Field(ge=0, le=10000000)] | None = None
    """Standard deviation of the insert size. Unit: {bp}."""

    cross_contamination_rate: Annotated[float, Field(ge=0, le=100)] | None = None
    """Estimated share of reads from another human sample, 0 to 1. Unit: 1."""

    count_snvs: Annotated[int, Field(ge=0, le=3300000000)] | None = None
    """Single-nucleotide variants called: on the autosomes in GA4GH's reports, else on all that the tool was given;
    variants_counted says whether only those that passed all filters. Unit: {variants}."""

    count_insertions: Annotated[int, Field(ge=0, le=3300000000)] | None = None
    """Insertions called; of where and of which variants as count_snvs. Unit: {variants}."""

    count_deletions: Annotated[int, Field(ge=0, le=3300000000)] | None = None
    """Deletions called; of where and of which variants as count_snvs. Unit: {variants}."""

    ratio_transitions_transversions_snv: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Ti/Tv: transitions per transversion among the SNVs. Unit: 1."""

    ratio_heterozygous_homozygous_snv: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Het/hom: heterozygous per homozygous-alternate SNV. Unit: 1."""

    ratio_heterozygous_homozygous_indel: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Het/hom: heterozygous per homozygous-alternate indel. Unit: 1."""

    ratio_insertion_deletion: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Insertions per deletion. Unit: 1."""

    median_autosome_coverage: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Median coverage of the autosomes. Unit: {fold}."""

    mean_coverage: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Mean coverage of all positions that the report covers (territory_bp): the whole genome, or the intervals that
    the tool was run with. Not the autosomes' alone. Unit: {fold}."""

    mad_coverage: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Median absolute deviation of the coverage of the positions that the report covers. Unit: {fold}."""

    pct_positions_15x: Annotated[float, Field(ge=0, le=100)] | None = None
    """Share of the positions that the report covers with a coverage of at least 15. Unit: %."""

    territory_bp: Annotated[int, Field(ge=0, le=100000000000)] | None = None
    """Positions that mean_coverage, mad_coverage and pct_positions_15x are of. Unit: {bp}."""

    mean_site_depth: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Mean depth at the sites by which samples are told apart (somalier gt_depth_mean, peddy mean_depth). Unit:
    {fold}."""

    fastq_bp_q30: Annotated[int, Field(ge=0, le=100000000000000)] | None = None
    """Bases with quality of at least Q30 in the reads that the report covers, before filtering: often one lane, not
    the whole sample. Unit: {bp}."""

    count_indels: Annotated[int, Field(ge=0, le=3300000000)] | None = None
    """Insertions and deletions together, of reports that do not tell them apart. Unit: {variants}."""

    ratio_heterozygous_homozygous: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Het/hom: heterozygous per homozygous-alternate genotype of SNVs and indels together. Unit: 1."""

    ratio_heterozygous_homozygous_x: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Het/hom on chromosome X: what the inferred sex rests on. Unit: 1."""

    sex_inferred: QcMetricsSexInferred | None = None
    """Sex as the reads have it: female (XX) or male (XY)."""

    status: SampleManifestStatus | None = None
    """Status of the record (in the words of FHIR's Observation.status): final, amended, corrected or entered-in-
    error, which withdraws the event; null is final."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""


class VariantFileReady(EventModel):
    """A variant file lies in the landing bucket. The file is found by its SHA-256; its URI and sample names stay in the
    vault zone.
    """

    event_type: ClassVar[str] = "genome.variant_file_ready"

    occurred_at: Moment
    """When the file was complete."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    uri: str
    """s3:// URI of the VCF or gVCF. Names samples, so it stays in the vault zone."""

    size_bytes: Annotated[int, Field(ge=0, le=100000000000000)]
    """Size of the object. Unit: By."""

    sha256: Sha256Code
    """SHA-256 of the object's bytes, 64 lower-case hexadecimal digits: the claim check."""

    file_format: VariantFileReadyFileFormat
    """vcf, vcf.gz, gvcf, gvcf.gz or bcf."""

    reference_build: SampleManifestReferenceBuild
    """Reference genome: GRCh37, GRCh38 or T2T-CHM13v2.0."""

    sample_names: list[str]
    """Sample columns of the file's header."""

    sample_count: Annotated[int, Field(ge=0, le=10000000)]
    """Number of sample columns in the file. Unit: {samples}."""

    status: SampleManifestStatus | None = None
    """Status of the record (in the words of FHIR's Observation.status): final, amended, corrected or entered-in-
    error, which withdraws the event; null is final."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""


class BloodPressure(EventModel):
    """One blood pressure measurement (LOINC panels 85354-9 and 55284-4; components 8480-6 and 8462-4)."""

    event_type: ClassVar[str] = "clinical.blood_pressure"

    occurred_at: Moment
    """When the pressure was taken."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    panel_code: LoincCode
    """LOINC code of the panel: 85354-9 or 55284-4."""

    systolic: Annotated[float, Field(ge=0, le=1000)] | None = None
    """Systolic pressure, LOINC 8480-6. Unit: mm[Hg]."""

    diastolic: Annotated[float, Field(ge=0, le=1000)] | None = None
    """Diastolic pressure, LOINC 8462-4. Unit: mm[Hg]."""

    heart_rate: Annotated[float, Field(ge=0, le=1000)] | None = None
    """Heart rate measured with it, LOINC 8867-4. Unit: /min."""

    body_position: BloodPressureBodyPosition | None = None
    """sitting, standing, supine, semi-recumbent or unknown."""

    status: BloodPressureStatus
    """FHIR Observation.status: registered, preliminary, final, amended, corrected, cancelled, entered-in-error or
    unknown."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""


class Glucose(EventModel):
    """One glucose measurement (LOINC 2339-0 and its kin)."""

    event_type: ClassVar[str] = "clinical.glucose"

    occurred_at: Moment
    """When the specimen was taken."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    code: LoincCode
    """LOINC code that says specimen and method, for example 2339-0, 2345-7, 41653-7."""

    value: Annotated[float, Field(ge=0, le=100000)] | None = None
    """Glucose concentration in the unit that `value_unit` names. Unit: see value_unit."""

    comparator: GlucoseComparator | None = None
    """How the concentration relates to value where that is only a bound, as a meter that shows HI or LO: < <= >= >;
    null where it is the value itself."""

    value_unit: GlucoseValueUnit
    """UCUM unit of value: mg/dL or mmol/L."""

    relation_to_meal: GlucoseRelationToMeal | None = None
    """fasting, before_meal, after_meal, bedtime or unknown (Open mHealth temporal-relationship-to-meal, coarsened)."""

    specimen: GlucoseSpecimen | None = None
    """blood, capillary_blood, plasma, serum or interstitial_fluid."""

    status: BloodPressureStatus
    """FHIR Observation.status: registered, preliminary, final, amended, corrected, cancelled, entered-in-error or
    unknown."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""


class Diagnosis(EventModel):
    """One diagnosis of a person (FHIR Condition)."""

    event_type: ClassVar[str] = "clinical.diagnosis"

    occurred_at: Moment
    """Onset of the condition, or when it was recorded where the onset is unknown."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    code_system: DiagnosisCodeSystem
    """KCD-7, KCD-8, KCD-9, ICD-10, ICD-10-CM or SNOMED-CT."""

    code: str
    """The code in code_system. A code of the system that code_system names (KCD-7, KCD-8, KCD-9, ICD-10, ICD-10-CM,
    SNOMED-CT)."""

    display: str | None = None
    """The source's text for the code; may hold anything, so it is dropped."""

    clinical_status: DiagnosisClinicalStatus | None = None
    """FHIR condition-clinical: active, recurrence, relapse, inactive, remission or resolved."""

    verification_status: DiagnosisVerificationStatus | None = None
    """FHIR condition-ver-status: unconfirmed, provisional, differential, confirmed, refuted or entered-in-error."""

    onset_at: Moment | None = None
    """When the condition began."""

    abated_at: Moment | None = None
    """When the condition ended: the earliest moment that the source's words allow, not before the onset."""

    abated_precision: SampleManifestOccurredPrecision | None = None
    """How exactly the source says when the condition ended: year, month, day, minute, second or millisecond."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""

    onset_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of onset_at that the source stated: a year, month or day alone stands for its beginning.
    Null where it has none."""


class LabResult(EventModel):
    """One laboratory result that is no glucose (FHIR Observation of category laboratory): a number, a bound, a range, a
    ratio, a code, yes or no, or the reason why there is none.
    """

    event_type: ClassVar[str] = "clinical.lab_result"

    occurred_at: Moment
    """When the specimen was taken."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    code: LoincHiraEdiProcedureCode
    """Code of the test in code_system."""

    code_system: LabResultCodeSystem | None = None
    """LOINC, or HIRA-EDI (the Korean code of claims for procedures and tests); null is LOINC."""

    display: str | None = None
    """The source's text for the code; may hold anything, so it is dropped."""

    value: Annotated[float, Field(ge=-1000000, le=99999999999)] | None = None
    """Numeric result in the unit that `value_unit` names. Unit: see value_unit."""

    comparator: GlucoseComparator | None = None
    """How the result relates to value (or to the ratio) where it is only a bound: < <= >= >; null where it is the
    value itself."""

    value_unit: LabResultValueUnit | None = None
    """UCUM unit of value, value_low and value_high."""

    value_code: SnomedCtLoincAnswerCode | None = None
    """Code of a coded result (SNOMED CT or LOINC answer), where the result is no number."""

    value_system: LabResultValueSystem | None = None
    """Code system of value_code: SNOMED-CT or LOINC-ANSWER; null where the source does not say."""

    value_boolean: bool | None = None
    """Result that is yes or no (FHIR valueBoolean)."""

    value_low: Annotated[float, Field(ge=-1000000, le=99999999999)] | None = None
    """Lower end of a result that is a range (FHIR valueRange), in value_unit. Unit: see value_unit."""

    value_high: Annotated[float, Field(ge=-1000000, le=99999999999)] | None = None
    """Upper end of a result that is a range (FHIR valueRange), in value_unit. Unit: see value_unit."""

    value_numerator: Annotated[float, Field(ge=-1000000, le=99999999999)] | None = None
    """First number of a result that is a ratio of plain numbers, as a titre of 1:80 (FHIR valueRatio). Unit: 1."""

    value_denominator: Annotated[float, Field(ge=-1000000, le=99999999999)] | None = None
    """Second number of a result that is a ratio of plain numbers, as a titre of 1:80 (FHIR valueRatio). Unit: 1."""

    absent_reason: LabResultAbsentReason | None = None
    """Why there is no result: FHIR data-absent-reason; unknown for a reason of another code system."""

    reference_low: Annotated[float, Field(ge=-1000000, le=99999999999)] | None = None
    """Lower end of the laboratory's reference range, in value_unit. Unit: see value_unit."""

    reference_high: Annotated[float, Field(ge=-1000000, le=99999999999)] | None = None
    """Upper end of the laboratory's reference range, in value_unit. Unit: see value_unit."""

    interpretation: LabResultInterpretation | None = None
    """HL7 ObservationInterpretation code: N, L, H, LL, HH, A ."""

    status: BloodPressureStatus
    """FHIR Observation.status: registered, preliminary, final, amended, corrected, cancelled, entered-in-error or
    unknown."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""


class Medication(EventModel):
    """One medication ordered, taken or given (FHIR MedicationRequest, -Statement and -Administration)."""

    event_type: ClassVar[str] = "clinical.medication"

    occurred_at: Moment
    """When it was ordered or its use began."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    code_system: MedicationCodeSystem
    """RxNorm, ATC, KD (the Korean standard code), HIRA-EDI (the code of claims), or SNOMED-CT."""

    code: str
    """The code in code_system. A code of the system that code_system names (RxNorm, ATC, KD, SNOMED-CT, HIRA-EDI)."""

    display: str | None = None
    """The source's text for the code; may hold anything, so it is dropped."""

    kind: MedicationKind
    """request (ordered), statement (taken) or administration (given)."""

    status: MedicationStatus
    """FHIR status: active, on-hold, cancelled, completed, entered-in-error, stopped, draft, intended, not-taken, in-
    progress, not-done or unknown."""

    dose_value: Annotated[float, Field(ge=0, le=1000000000)] | None = None
    """Amount of one dose in dose_unit. Unit: see dose_unit."""

    dose_unit: LabResultValueUnit | None = None
    """UCUM unit of dose_value."""

    doses_per_day: Annotated[float, Field(ge=0, le=100000)] | None = None
    """How many doses a day. Unit: /d."""

    ended_at: Moment | None = None
    """When its use ended: the earliest moment that the source's words allow, not before it began."""

    ended_precision: SampleManifestOccurredPrecision | None = None
    """How exactly the source says when the use ended: year, month, day, minute, second or millisecond."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""


class Diet(EventModel):
    """One food item that was eaten."""

    event_type: ClassVar[str] = "lifestyle.diet"

    occurred_at: Moment
    """When it was eaten."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    meal: DietMeal
    """breakfast, lunch, dinner, snack or unknown."""

    food_code: DietFoodCode | None = None
    """Code of the food in the Korean national food composition database, or F and a vendor's number."""

    food_name: str | None = None
    """The food as the person or the app wrote it; may hold anything, so it is dropped."""

    amount: Annotated[float, Field(ge=0, le=100000)] | None = None
    """Mass eaten. Unit: g."""

    energy: Annotated[float, Field(ge=0, le=100000)] | None = None
    """Energy of the amount eaten. Unit: kcal."""

    carbohydrate: Annotated[float, Field(ge=0, le=100000)] | None = None
    """Carbohydrate of the amount eaten. Unit: g."""

    protein: Annotated[float, Field(ge=0, le=100000)] | None = None
    """Protein of the amount eaten. Unit: g."""

    fat: Annotated[float, Field(ge=0, le=100000)] | None = None
    """Fat of the amount eaten. Unit: g."""

    sodium: Annotated[float, Field(ge=0, le=10000000)] | None = None
    """Sodium of the amount eaten. Unit: mg."""

    status: SampleManifestStatus | None = None
    """Status of the record (in the words of FHIR's Observation.status): final, amended, corrected or entered-in-
    error, which withdraws the event; null is final."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""


class Exercise(EventModel):
    """One bout of exercise, or one day's activity as a device sums it up."""

    event_type: ClassVar[str] = "lifestyle.exercise"

    occurred_at: Moment
    """When the bout or the day began."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    activity: ExerciseActivity
    """What was done: a word of the programme's list; daily_activity sums up a day."""

    duration: Annotated[float, Field(ge=0, le=10000000)] | None = None
    """How long it took, without pauses. Unit: s."""

    steps: Annotated[int, Field(ge=0, le=10000000)] | None = None
    """Steps taken. Unit: {steps}."""

    distance: Annotated[float, Field(ge=0, le=100000000)] | None = None
    """Distance covered. Unit: m."""

    intensity: ExerciseIntensity | None = None
    """light, moderate or vigorous."""

    energy: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """Energy burnt. Unit: kcal."""

    heart_rate: Annotated[float, Field(ge=0, le=1000)] | None = None
    """Mean heart rate. Unit: /min."""

    status: SampleManifestStatus | None = None
    """Status of the record (in the words of FHIR's Observation.status): final, amended, corrected or entered-in-
    error, which withdraws the event; null is final."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""


class Sleep(EventModel):
    """One sleep, or one night as a device sums it up."""

    event_type: ClassVar[str] = "lifestyle.sleep"

    occurred_at: Moment
    """When the sleep began (the day's start where the device gives only a date)."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    ended_at: Moment | None = None
    """When the sleep ended."""

    minutes_asleep: Annotated[float, Field(ge=0, le=100000)] | None = None
    """Minutes asleep. Unit: min."""

    minutes_in_bed: Annotated[float, Field(ge=0, le=100000)] | None = None
    """Minutes in bed. Unit: min."""

    minutes_light: Annotated[float, Field(ge=0, le=100000)] | None = None
    """Minutes of light sleep (N1 and N2). Unit: min."""

    minutes_deep: Annotated[float, Field(ge=0, le=100000)] | None = None
    """Minutes of deep sleep (N3). Unit: min."""

    minutes_rem: Annotated[float, Field(ge=0, le=100000)] | None = None
    """Minutes of REM sleep. Unit: min."""

    minutes_awake: Annotated[float, Field(ge=0, le=100000)] | None = None
    """Minutes awake between start and end. Unit: min."""

    is_main_sleep: bool | None = None
    """Whether it is the day's main sleep, no nap."""

    status: SampleManifestStatus | None = None
    """Status of the record (in the words of FHIR's Observation.status): final, amended, corrected or entered-in-
    error, which withdraws the event; null is final."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""


class VitalSign(EventModel):
    """One measurement of a vital sign: heart rate, oxygen saturation, body temperature, weight or height (FHIR
    Observation of category vital-signs).
    """

    event_type: ClassVar[str] = "clinical.vital_sign"

    occurred_at: Moment
    """When it was measured."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    code: LoincCode
    """LOINC code that says what was measured and how, for example 8867-4 (heart rate), 59408-5 (oxygen saturation by
    pulse oximetry), 8310-5 (body temperature; 8331-1 oral, 8333-7 tympanic, ...), 29463-7 (weight), 8302-2 (height)."""

    value: Annotated[float, Field(ge=0, le=1000000)] | None = None
    """The measured value in the unit that `value_unit` names. Unit: see value_unit."""

    value_unit: VitalSignValueUnit
    """UCUM unit of value: /min, %, Cel, [degF], kg, g, [lb_av], cm, m or [in_i]."""

    status: BloodPressureStatus
    """FHIR Observation.status: registered, preliminary, final, amended, corrected, cancelled, entered-in-error or
    unknown."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""


class Questionnaire(EventModel):
    """One answer, or one score, of a questionnaire that a person filled in (an item of a FHIR QuestionnaireResponse).
    All of one filling-in have the same occurred_at.
    """

    event_type: ClassVar[str] = "lifestyle.questionnaire"

    occurred_at: Moment
    """When the questionnaire was filled in, the same for all its answers and scores."""

    occurred_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    """Offset from UTC of the source's local time at occurred_at (540 in Korea); null where the source does not say.
    Unit: min."""

    recorded_at: Moment
    """When the source wrote the record down."""

    instrument: QuestionnaireInstrument
    """Which questionnaire, in the version that its authors published: PHQ-9 (LOINC panel 44249-1), GAD-7 (69737-5),
    AUDIT-C (72109-2), IPAQ-SF, PSQI, ."""

    kind: QuestionnaireKind
    """answer (what the person said to one item) or score (what was computed from answers)."""

    item: QuestionnaireItem | None = None
    """Number of the item as the questionnaire prints it (5, 5a); of a score that of the subscale, null for the
    total."""

    item_code: LoincCode | None = None
    """LOINC code of the item or score where it has one, for example 44250-9 (PHQ-9, item 1), 44261-6 (PHQ-9, total)."""

    value_code: LoincAnswerSnomedCtCode | None = None
    """Code of the answer where one was chosen from a list (LOINC answer, for example LA6568-5 Not at all; or SNOMED
    CT)."""

    value: Annotated[float, Field(ge=-1000, le=1000000)] | None = None
    """The answer or score as a number in the unit that `value_unit` names: points, days, minutes. Unit: see
    value_unit."""

    value_unit: QuestionnaireValueUnit | None = None
    """UCUM unit of value: {score} for points, d/wk, min/d, [MET].min/wk ."""

    answered_by: QuestionnaireAnsweredBy | None = None
    """self (the person filled it in), interview (asked by somebody who wrote it down) or proxy (somebody answered
    for the person)."""

    status: QuestionnaireStatus
    """FHIR QuestionnaireResponse.status: in-progress, completed, amended, entered-in-error or stopped."""

    occurred_precision: SampleManifestOccurredPrecision | None = None
    """The smallest part of occurred_at that the source stated: a year, month or day alone stands for its beginning.
    Null where nobody stated it."""
